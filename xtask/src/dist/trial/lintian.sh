lintian --allow-root --fail-on error --tag-display-limit 0 "$1"
