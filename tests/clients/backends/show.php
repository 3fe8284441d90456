<?php
// Answers with what PHP has read of a request, an empty line and the body.
header('Content-Type: text/plain');
$body = file_get_contents('php://input');

// As careful programs read JSON, and as careless ones do: without a byte order mark, names in any letter case.
$exact = json_decode($body, true);
$lower = function ($value) use (&$lower) {
    return is_array($value) ? array_map($lower, array_change_key_case($value)) : $value;
};
$loose = $lower(json_decode(preg_replace('/^\xEF\xBB\xBF/', '', $body), true));

foreach ($_SERVER as $name => $value) {
    if (is_scalar($value)) {
        echo "$name=$value\n";
    }
}
foreach (getallheaders() as $name => $value) {
    echo "header.$name=$value\n";
}
foreach (['get' => $_GET, 'post' => $_POST, 'request' => $_REQUEST, 'cookie' => $_COOKIE] as $kind => $values) {
    foreach ($values as $name => $value) {
        echo "$kind.$name=", json_encode($value), "\n";
    }
}
echo 'json=', is_array($exact) ? $exact['customer']['id'] ?? '' : '', "\n";
echo 'loose_json=', is_array($loose) ? $loose['customer']['id'] ?? '' : '', "\n";
echo "\n", $body;
