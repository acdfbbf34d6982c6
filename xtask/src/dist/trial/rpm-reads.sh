fail() {
    echo "$*" >&2
    exit 1
}
rpm --checksig --nosignature "$2"
rpm --query --package --list "$2" > /dev/null
for file in /usr/bin/backscope /usr/share/man/man1/backscope-watch.1.gz \
    /usr/share/bash-completion/completions/backscope \
    /usr/share/zsh/site-functions/_backscope \
    /usr/share/fish/vendor_completions.d/backscope.fish \
    /usr/share/licenses/backscope/THIRD-PARTY; do
    rpm --query --package --list "$2" | grep -qx "$file" || fail "$file is not in it"
done
others=$(rpm --query --package --queryformat '[%{FILEUSERNAME}:%{FILEGROUPNAME}\n]' "$2" |
    grep -vx root:root || true)
[ -z "$others" ] || fail "files of others than root: $others"
needed=$(rpm --query --package --requires "$2" | grep -v -e '^rpmlib(' -e '^/bin/sh$' || true)
[ -z "$needed" ] || fail "a static program needs nothing, but it says: $needed"
