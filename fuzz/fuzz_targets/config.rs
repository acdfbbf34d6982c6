#![no_main]

backscope_fuzz::target!(backscope::fuzzing::config);
