"""What the shop keeps."""

from __future__ import annotations

from typing import Any

from django.db import connection, models
from django.db.backends.signals import connection_created
from django.dispatch import receiver


class Item(models.Model):
    name = models.TextField()
    price = models.IntegerField()
    note = models.TextField()

    def as_dict(self) -> dict[str, Any]:
        return {"id": self.pk, "name": self.name, "price": self.price, "note": self.note}


class Upload(models.Model):
    name = models.TextField(primary_key=True)
    size = models.IntegerField()
    sha256 = models.TextField()

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, "size": self.size, "sha256": self.sha256}


class Event(models.Model):
    order_id = models.TextField()
    status = models.TextField()


class Nonce(models.Model):
    nonce = models.TextField(primary_key=True)
    runs = models.IntegerField()

    @classmethod
    def count(cls, nonce: str) -> int:
        """Counts one more run; returns how many there were. One statement, which the ORM has no words for."""
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO shop_nonce VALUES (%s, 1) ON CONFLICT (nonce) DO UPDATE SET runs = runs + 1", [nonce]
            )
        return cls.objects.get(pk=nonce).runs


@receiver(connection_created)
def tune(connection: Any, **_more: Any) -> None:
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous=NORMAL")
            # SQLite before 3.51.3 may lose rows when two connections write the log back at once.
            cursor.execute("PRAGMA wal_autocheckpoint=0")
