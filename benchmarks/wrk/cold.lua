-- Each of 1,000 files once (benchmarks/runner/files.py), over all connections: the time is that of the pass, however long wrk runs.
-- One thread only.

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "report.lua")

local ffi = require("ffi")
ffi.cdef("typedef struct { long sec, usec; } bench_time; int gettimeofday(bench_time *now, void *zone);")

local files = 1000
local asked = -1 -- wrk asks once before it begins
local answered = 0
started, finished = 0, 0 -- globals, as done() looks at them

local function now()
    local time = ffi.new("bench_time")
    ffi.C.gettimeofday(time, nil)
    return tonumber(time.sec) * 1000000 + tonumber(time.usec)
end

local threads = {}
local announce = setup

function setup(thread)
    threads[#threads + 1] = thread
    announce(thread)
end

function request()
    if asked == 0 then
        started = now()
    end
    asked = asked + 1
    return wrk.format("GET", string.format("/static/cold/%04d.bin", math.max(asked - 1, 0) % files))
end

function response()
    answered = answered + 1
    if answered == files then
        finished = now()
        wrk.thread:stop()
    end
end

local report = done

function done(summary, latency, requests)
    local from, to = threads[1]:get("started"), threads[1]:get("finished")
    local pass = { requests = summary.requests, duration = summary.duration, bytes = summary.bytes, errors = summary.errors }
    if to > from then
        pass.requests, pass.duration = files, to - from
    end
    report(pass, latency, requests)
end
