#!/bin/sh
# CGI program: answers with its environment, an empty line and the body of the request.
printf 'Content-Type: text/plain\r\n\r\n'
env
echo
cat
