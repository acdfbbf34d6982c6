#!/bin/sh
# limit.sh MICROSECONDS|none: lets the shop use so much processor time in each 100 ms. The group is
# the shop's own, and goes when the exercise ends.
group="@CGROUP@"
if [ -e "$group/cpu.max" ]; then
    [ "$1" = none ] && quota=max || quota=$1
    echo "$quota 100000" > "$group/cpu.max"
else
    [ "$1" = none ] && quota=-1 || quota=$1
    echo 100000 > "$group/cpu.cfs_period_us"
    echo "$quota" > "$group/cpu.cfs_quota_us"
fi
# The caller, which becomes the shop.
echo "$PPID" > "$group/cgroup.procs"
