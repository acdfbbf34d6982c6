module backscope/app

go 1.25
