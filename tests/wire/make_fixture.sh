#!/bin/bash
# Rewrites tests/fixtures/cri_descriptor.txt from the k8s.io/cri-api that go.mod pins. Needs Go.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
go test -count=1 -run '^TestFixtureIsWhatCriApiRegisters$' . -update
wc -l ../fixtures/cri_descriptor.txt
