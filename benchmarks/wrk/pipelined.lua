-- 16 requests in one write; wrk counts each answer as one request, and takes
-- the time from the write to the last of the 16 answers as the latency.

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "report.lua")

local batch

function init(args)
    batch = string.rep(wrk.format("GET"), 16)
end

function request()
    return batch
end
