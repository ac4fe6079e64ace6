-- What a desktop browser sends to a site with analytics and a session: 17
-- fields, about 1.4 KB, half of it cookies.

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "report.lua")

local fields = {
    ["Connection"] = "keep-alive",
    ["Cache-Control"] = "max-age=0",
    ["sec-ch-ua"] = '"Not/A)Brand";v="8", "Chromium";v="138", "Google Chrome";v="138"',
    ["sec-ch-ua-mobile"] = "?0",
    ["sec-ch-ua-platform"] = '"Linux"',
    ["Upgrade-Insecure-Requests"] = "1",
    ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
    ["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    ["Sec-Fetch-Site"] = "same-origin",
    ["Sec-Fetch-Mode"] = "navigate",
    ["Sec-Fetch-User"] = "?1",
    ["Sec-Fetch-Dest"] = "document",
    ["Referer"] = "http://shop.example/catalogue/garden/tools?page=2&sort=price",
    ["Accept-Encoding"] = "gzip, deflate, br, zstd",
    ["Accept-Language"] = "en-GB,en;q=0.9,de;q=0.8",
    ["Cookie"] = "sessionid=" .. string.rep("k3j9x0q2", 4)
        .. "; csrftoken=" .. string.rep("Zr7Yp1Lm", 8)
        .. "; _ga=GA1.1.1029384756.1760000000; _ga_ABCDEF1234=GS1.1.1760000000.5.1.1760001234.0.0.0"
        .. "; consent=" .. string.rep("CPzHq4APzHq4AAfKABENDC", 12)
        .. "; cart=" .. string.rep("eyJpdGVtcyI6W10sInYiOjF9", 8)
        .. "; theme=dark; tz=Europe%2FBerlin",
}

for name, value in pairs(fields) do
    wrk.headers[name] = value
end
