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
backscope=/usr/bin/backscope
[ -z "$(left)" ] || fail "there before: $(left)"

dpkg --install /packages/backscope.deb
dpkg --verify backscope | grep . && fail "dpkg --verify finds differences"
version=$(dpkg-query --show --showformat '${Version}' backscope)
[ "$("$backscope" --version)" = "backscope ${version%-*}" ] || fail "another version than $version"
"$backscope" doctor > /tmp/doctor || [ $? = 3 ] || fail "doctor fails: $(cat /tmp/doctor)"
grep -q kernel /tmp/doctor || fail "doctor says nothing of the kernel"
"$backscope" --help | sed -n '/^Commands:/,/^$/ s/^  \([a-z]\+\) .*/\1/p' > /tmp/verbs
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
dpkg --install /packages/backscope.deb
dpkg --remove backscope
[ ! -e "$backscope" ] || fail "the program is there after the removal"
dpkg --purge backscope
dpkg-query --show backscope 2> /dev/null && fail "dpkg knows the package after the purge"
[ -z "$(left)" ] || fail "left after the purge: $(left)"
