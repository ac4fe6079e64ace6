from __future__ import annotations

from typing import Any

from django.db import migrations, models

GOODS = ("bolt", "cog", "crank", "gasket", "lever", "pulley", "rivet", "spring", "valve", "washer")


def fill(apps: Any, _schema_editor: Any) -> None:
    item = apps.get_model("shop", "Item")
    item.objects.bulk_create(
        [item(name=f"{GOODS[n % 10]} M{n}", price=100 + 7 * n, note="Größe wählbar ✓") for n in range(1, 101)]
    )


def number() -> Any:
    return models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


class Migration(migrations.Migration):
    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            "Item",
            [
                ("id", number()),
                ("name", models.TextField()),
                ("price", models.IntegerField()),
                ("note", models.TextField()),
            ],
        ),
        migrations.CreateModel(
            "Upload",
            [
                ("name", models.TextField(primary_key=True, serialize=False)),
                ("size", models.IntegerField()),
                ("sha256", models.TextField()),
            ],
        ),
        migrations.CreateModel(
            "Event", [("id", number()), ("order_id", models.TextField()), ("status", models.TextField())]
        ),
        migrations.CreateModel(
            "Nonce",
            [("nonce", models.TextField(primary_key=True, serialize=False)), ("runs", models.IntegerField())],
        ),
        migrations.RunPython(fill),
    )
