# In a copy of the system: installs the package, uses it, and purges it.
export DEBIAN_FRONTEND=noninteractive
cd /
fail() {
    echo "$*" >&2
    exit 1
}
# Everything that was written, but for what dpkg and the index of manuals keep.
left() {
    find /written -mindepth 1 -name '*backscope*' -not -path '/written/packages/*' \
        -not -path '/written/var/cache/*' -not -type c | sort
}
# A program of the same name elsewhere would hide the one that is tried.
program=/usr/bin/backscope
backscope() {
    ${EMULATOR} "$program" "$@"
}
# An emulator's package is one of an architecture that this system does not have.
install() {
    dpkg ${EMULATOR:+--force-architecture} --install /packages/backscope.deb
}
[ -z "$(left)" ] || fail "there before: $(left)"

install
dpkg --verify backscope | grep . && fail "dpkg --verify finds differences"
version=$(dpkg-query --show --showformat '${Version}' backscope)
[ "$(backscope --version)" = "backscope ${version%-*}" ] || fail "another version than $version"
backscope doctor > /tmp/doctor || [ $? = 3 ] || fail "doctor fails: $(cat /tmp/doctor)"
grep -q kernel /tmp/doctor || fail "doctor says nothing of the kernel"
backscope schema > /tmp/schema || fail "schema fails"
grep -q properties /tmp/schema || fail "this is no schema"
backscope --help | sed -n '/^Commands:/,/^$/ s/^  \([a-z]\+\) .*/\1/p' > /tmp/verbs
sed -i '/^help$/d' /tmp/verbs
[ -s /tmp/verbs ] || fail "--help names no verb"
while read -r verb; do
    man --warnings "backscope-$verb" > /tmp/page 2> /tmp/warnings || fail "no manual of $verb"
    [ -s /tmp/warnings ] && fail "the manual of $verb: $(cat /tmp/warnings)"
    grep -q "backscope-$verb" /tmp/page || fail "the manual of $verb does not name it"
done < /tmp/verbs
MANPAGER=cat man backscope | grep -q 'who held the time' || fail "no manual"
bash -c '. /usr/share/bash-completion/completions/backscope && complete -p backscope' \
    || fail "bash completes nothing"
unit=/usr/lib/systemd/system/backscope.service
if [ -e "$unit" ] && command -v systemd-analyze > /dev/null; then
    systemd-analyze verify "$unit" 2> /tmp/verify || true
    grep backscope /tmp/verify && fail "systemd-analyze verify: $(cat /tmp/verify)"
fi

# Once more, as an upgrade does it; then without the files that an administrator may change.
install
dpkg --remove backscope
[ ! -e "$program" ] || fail "the program is there after the removal"
dpkg --purge backscope
dpkg-query --show backscope 2> /dev/null && fail "dpkg knows the package after the purge"
[ -z "$(left)" ] || fail "left after the purge: $(left)"
