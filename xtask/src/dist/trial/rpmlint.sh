# Warnings are not held against it: Debian's rpmlint knows neither the licences of others nor their
# compression of manuals.
config=$(mktemp --suffix .toml)
cat > "$config" << 'END'
Filters = [
    # By design: one program for every release of a distribution.
    "statically-linked-binary",
    # Whoever publishes it signs it.
    "no-signature",
]
END
status=0
rpmlint --config "$config" "$2" || status=$?
rm "$config"
exit "$status"
