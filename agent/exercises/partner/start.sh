#!/bin/sh
# Starts the shop. Edit this file, then restart the shop: r in backscope does it; so do you, by
# ending the shop and running this file in the shell of `backscope learn --fix --shell`.
# What each setting means: backscope demo-servers shop --help
ulimit -n 4096
exec "@BACKSCOPE@" demo-servers shop \
    --listen 127.0.0.1:8080 \
    --serve threads \
    --backlog 1024 \
    --keep-alive 1s \
    --names off \
    --write whole
