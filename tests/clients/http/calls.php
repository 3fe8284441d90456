<?php
// Calls by PHP's curl, a plan of them on one handle: see calls.rs. The last argument is 1.1 or 2.
[, $base, $ca, $plan, $mode, $version] = $argv;
$handle = curl_init();
[$calls, $lost, $refused] = [0, 0, false];
do {
    foreach (file($plan, FILE_IGNORE_NEW_LINES) as $line) {
        [$method, $path, $size, $expected, $header] = explode("\t", $line);
        if ($method === "PAUSE") {
            usleep($size * 1000);
            continue;
        }
        // The connection stays with the handle.
        curl_reset($handle);
        curl_setopt_array($handle, [
            CURLOPT_URL => $base . $path,
            CURLOPT_VERBOSE => true,
            CURLOPT_STDERR => $log = fopen("php://temp", "w+"),
            CURLOPT_CAINFO => $ca,
            CURLOPT_RETURNTRANSFER => true,
            CURLOPT_TIMEOUT => 20,
            CURLOPT_CUSTOMREQUEST => $method,
            CURLOPT_HTTP_VERSION => $version === "2" ? CURL_HTTP_VERSION_2_0 : CURL_HTTP_VERSION_1_1,
            CURLOPT_HTTPHEADER => $header === "" ? [] : [$header],
        ]);
        if ($method === "POST") {
            curl_setopt($handle, CURLOPT_POSTFIELDS, str_repeat("x", (int) $size));
        }
        $calls++;
        $reason = curl_exec($handle) === false ? curl_error($handle) : (string) curl_getinfo($handle, CURLINFO_RESPONSE_CODE);
        if ($mode === "until-refused" && curl_errno($handle) === CURLE_COULDNT_CONNECT) {
            $calls--;
            $refused = true;
            break;
        }
        fflush($log);
        if (!in_array($reason, explode(",", $expected), true)) {
            $lost++;
            rewind($log);
            echo "LOST $method $path $size: $reason\n", stream_get_contents($log);
        }
    }
} while ($mode === "until-refused" && !$refused);
echo "DONE $calls $lost\n";
