-- A small JSON document, as an API client posts it.

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "report.lua")

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"customer": 1842, "currency": "EUR", "note": "leave at the door", "items": ['
    .. '{"sku": "A-100", "quantity": 2, "price": 19.99}, '
    .. '{"sku": "B-205", "quantity": 1, "price": 5.49}, '
    .. '{"sku": "C-017", "quantity": 12, "price": 0.35}]}'
