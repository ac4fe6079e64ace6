-- Nine requests of ten for /, one for /slow, at random, the same sequence for
-- every server. To be run with as many threads as connections (-t 40 -c 40):
-- then request() and response() of a thread are those of one request, and the
-- time between them can be taken for each class by itself.

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "report.lua")

local whole, ready = done, setup
local threads = {}

function setup(thread)
    if #threads == 0 then
        ready(thread)
    end
    threads[#threads + 1] = thread
    thread:set("number", #threads)
end

local ffi, began, slow, clock
local texts = {}
-- Global, so that done() can fetch them from here: microseconds.
short_times, slow_times = {}, {}

function init(args)
    ffi = require("ffi")
    ffi.cdef("typedef struct { long sec, nsec; } pyspeed_time; int clock_gettime(int clock, pyspeed_time *at);")
    clock = ffi.new("pyspeed_time")
    math.randomseed(number * 7919)
    texts[false], texts[true] = wrk.format("GET", "/"), wrk.format("GET", "/slow")
end

local function now()
    ffi.C.clock_gettime(1, clock) -- CLOCK_MONOTONIC
    return tonumber(clock.sec) * 1e6 + tonumber(clock.nsec) / 1e3
end

function request()
    slow = math.random() < 0.1
    began = now()
    return texts[slow]
end

function response(status, headers, body)
    local times = slow and slow_times or short_times
    times[#times + 1] = math.floor(now() - began)
end

local function class(name, field)
    local all = {}
    for _, thread in ipairs(threads) do
        for _, time in ipairs(thread:get(field)) do
            all[#all + 1] = time
        end
    end
    table.sort(all)
    local function at(share)
        return all[math.max(1, math.ceil(#all * share))] or 0
    end
    io.write(string.format(
        'CLASS {"name":"%s","requests":%d,"p50_us":%d,"p90_us":%d,"p99_us":%d,"p999_us":%d,"max_us":%d}\n',
        name, #all, at(0.5), at(0.9), at(0.99), at(0.999), at(1)))
end

function done(summary, latency, requests)
    class("short", "short_times")
    class("slow", "slow_times")
    whole(summary, latency, requests)
end
