module github.com/duroxide/duroxide

go 1.26
