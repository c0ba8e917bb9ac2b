//go:build programs

// Package programs names what is built from here, so that `go mod tidy` keeps what it needs.
package programs

import _ "github.com/minio/minio"
