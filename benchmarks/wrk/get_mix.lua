-- Several paths, weighted, in a fixed order that is the same for every server.

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "report.lua")

local weights = {
    { 8, "/" },
    { 5, "/message" },
    { 4, "/items/42?verbose=1&sort=price" },
    { 2, "/search?q=caf%C3%A9+au+lait&page=3" },
    { 1, "/missing-but-handled" },
}

local ring, at = {}, 0

function init(args)
    for _, entry in ipairs(weights) do
        local text = wrk.format("GET", entry[2])
        for _ = 1, entry[1] do
            ring[#ring + 1] = text
        end
    end
    -- Spread them: 20 entries, a stride of 7 visits each one once.
    local spread = {}
    for i = 0, #ring - 1 do
        spread[i + 1] = ring[(i * 7) % #ring + 1]
    end
    ring = spread
end

function request()
    at = at % #ring + 1
    return ring[at]
end
