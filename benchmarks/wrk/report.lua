-- What every script here has in common: setup() numbers nothing and costs
-- nothing per request; done() runs once, after the load, and prints one line of
-- JSON that benchmarks/runner/measure.py reads. Times are in microseconds.

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
