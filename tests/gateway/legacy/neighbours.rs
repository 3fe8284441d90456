//! Nginx, Apache httpd, PHP-FPM, Tomcat, Python as backends.
