module vodpipe.invalid/bindings

go 1.19
