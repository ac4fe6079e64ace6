-- What every script here has in common, and what costs nothing per request:
-- setup() tells benchmarks/runner/wrk.py that wrk is about to begin; done() runs once, after the load, and prints one line of
-- JSON that benchmarks/runner/wrk.py reads. Times are in microseconds.

function setup(thread)
    io.stderr:write("READY\n")
end

function done(summary, latency, requests)
    local function us(percentile)
        local value = latency:percentile(percentile)
        if value ~= value then -- NaN: no request was answered
            return 0
        end
        return value
    end
    local e = summary.errors
    io.write(string.format(
        'WRK {"requests":%d,"duration_us":%d,"bytes":%d,'
            .. '"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d,'
            .. '"p50_us":%d,"p90_us":%d,"p99_us":%d,"p999_us":%d,"max_us":%d}\n',
        summary.requests, summary.duration, summary.bytes,
        e.connect, e.read, e.write, e.timeout, e.status,
        us(50), us(90), us(99), us(99.9), latency.max))
end
