# Arguments: a script, the package for dpkg, the package for rpm, what runs the program or nothing.
# The mounts are this process's own, so they go with it.
mount --make-rprivate /
scratch=$(mktemp -d)
mount -t tmpfs scratch "$scratch"
mkdir "$scratch/written" "$scratch/work" "$scratch/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$scratch/written,workdir=$scratch/work" "$scratch/root"
for place in /proc /dev; do
    mount --rbind "$place" "$scratch/root$place"
done
mount -t tmpfs run "$scratch/root/run"
mkdir -p "$scratch/root/written" "$scratch/root/packages"
mount --bind "$scratch/written" "$scratch/root/written"
cp "$2" "$scratch/root/packages/backscope.deb"
cp "$3" "$scratch/root/packages/backscope.rpm"
status=0
EMULATOR=$4 chroot "$scratch/root" sh -eu -c "$1" trial || status=$?
# The namespace ends, and with it the mounts; the folder below them stays.
umount --recursive --lazy "$scratch"
rmdir "$scratch"
exit "$status"
