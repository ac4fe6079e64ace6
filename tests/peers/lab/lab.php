<?php
// The same as app.py, for php-fpm.
$name = explode('/', trim($_SERVER['PATH_INFO'] ?? '', '/'))[0];
$file = $_SERVER['LAB_DIR'] . '/' . $_SERVER['QUERY_STRING'];
header('Content-Type: text/plain');
while (ob_get_level()) {
    ob_end_clean();
}
function say($text) {
    echo $text;
    flush();
}
function await_file($name) {
    while (!file_exists($name)) {
        usleep(10000);
        clearstatcache();
    }
}
switch ($name) {
    case 'hello':
        say('hello');
        break;
    case 'params':
        say(json_encode(array_map(fn($v) => latin1($v), array_filter($_SERVER, 'is_string'))));
        break;
    case 'digest':
        $sha = hash_init('sha256');
        $size = 0;
        $in = fopen('php://input', 'rb');
        while (!feof($in) && ($part = fread($in, 65536)) !== '' && $part !== false) {
            hash_update($sha, $part);
            $size += strlen($part);
        }
        say(json_encode([$size, hash_final($sha)]));
        break;
    case 'long':
        header('X-Long: ' . str_repeat('v', 65536));
        say('long');
        break;
    case 'big':
        for ($i = 0; $i < 512; $i++) {
            say(str_repeat('x', 65536));
        }
        break;
    case 'stream':
        say('one');
        await_file($file);
        say('two');
        break;
    case 'upload':
        $in = fopen('php://input', 'rb');
        $size = strlen(fread($in, 1000));
        touch($file);
        while (!feof($in) && ($part = fread($in, 65536)) !== '' && $part !== false) {
            $size += strlen($part);
        }
        say((string) $size);
        break;
    case 'early':
        http_response_code(403);
        say('early');
        break;
    case 'stderr':
        error_log("careful \x1b[31m");
        for ($i = 0; $i < 20000; $i++) {
            error_log('noise');
        }
        say('said');
        break;
    case 'dies':
        posix_kill(getmypid(), 9);
        break;
    case 'dies-later':
        say(str_repeat('x', 100000));
        touch($file);
        await_file($file . '-go');
        posix_kill(getmypid(), 9);
        break;
    case 'hangs':
        register_shutdown_function(fn() => touch($file));
        while (true) {
            say(str_repeat('tick', 100));
            usleep(10000);
        }
        break;
}
// Latin-1, as the other responders show parameters.
function latin1($text) {
    return preg_replace_callback('/[\x80-\xff]/', fn($m) => chr(0xc0 | ord($m[0]) >> 6) . chr(0x80 | ord($m[0]) & 0x3f), $text);
}
