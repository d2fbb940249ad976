#!/usr/bin/env bash
# The book in docs/: its generated pages are what the code says, its Rust examples run, it builds without
# a warning, and every link in it and in the Markdown files of the repository leads to a file and a
# heading that are there. Links to other hosts are not followed.
#
#   scripts/book.sh               leaves the pages in docs/book
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/python.sh -c ''

cargo run --locked --quiet --package vae-fidelity-book -- --check
cargo test --locked --quiet --package vae-fidelity-book

rm -rf docs/book
log=$(.venv/bin/mdbook build docs 2>&1) || { echo "$log" >&2; exit 1; }
if grep -E '^ *(WARN|ERROR)' <<<"$log" >&2; then
  echo 'error: mdbook warns of the lines above' >&2
  exit 1
fi

# The pages of the book, and what they are made from, are checked as they are built.
if ! git ls-files -z '*.md' ':!docs/src' ':!crates/book' | xargs -0 .venv/bin/lychee --offline --include-fragments \
  --no-progress --quiet --root-dir "$PWD/docs/book" 'docs/book/**/*.html'; then
  echo 'error: the links above lead nowhere' >&2
  echo '  next: mend them in docs/src, in the file named, or in crates/book for a generated page' >&2
  exit 1
fi
