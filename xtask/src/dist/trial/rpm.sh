# In a copy of the system: installs the package, uses it, and erases it.
cd /
fail() {
    echo "$*" >&2
    exit 1
}
left() {
    find /written -mindepth 1 -name '*backscope*' -not -path '/written/packages/*' -not -type c |
        sort
}
[ -z "$(left)" ] || fail "there before: $(left)"

# Debian's rpm would rather have its users take alien, and does not know that dpkg has /bin/sh.
rpm --install --force-debian --nodeps ${EMULATOR:+--ignorearch} /packages/backscope.rpm
rpm --verify --nodeps backscope || fail "rpm --verify finds differences"
version=$(rpm --query --queryformat '%{VERSION}' backscope)
[ "$(${EMULATOR} /usr/bin/backscope --version)" = "backscope $version" ] || fail "another version than $version"
${EMULATOR} /usr/bin/backscope doctor > /tmp/doctor || [ $? = 3 ] || fail "doctor fails: $(cat /tmp/doctor)"
rpm --erase backscope
rpm --query backscope > /dev/null && fail "rpm knows the package after it was erased"
[ -z "$(left)" ] || fail "left after the package was erased: $(left)"
