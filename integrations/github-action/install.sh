#!/usr/bin/env bash
# Brings vae-fidelity into the PATH of the steps that follow: release VERSION from SERVER/REPOSITORY, or
# where VERSION is empty, built from the checkout that this file lies in.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
place=$RUNNER_TEMP/vae-fidelity

if [ -z "$VERSION" ]; then
  cargo install --locked --quiet --path "$here/../.." --root "$place"
  echo "$place/bin" >>"$GITHUB_PATH"
  exit
fi

case $RUNNER_OS-$RUNNER_ARCH in
  Linux-X64) target=x86_64-unknown-linux-gnu ;;
  Linux-ARM64) target=aarch64-unknown-linux-gnu ;;
  macOS-X64) target=x86_64-apple-darwin ;;
  macOS-ARM64) target=aarch64-apple-darwin ;;
  Windows-X64) target=x86_64-pc-windows-msvc ;;
  *)
    echo "::error::there is no release for $RUNNER_OS on $RUNNER_ARCH: leave version out to build it"
    exit 2
    ;;
esac
name=vae-fidelity-$VERSION-$target
archive=$name.tar.xz
if [ "$RUNNER_OS" = Windows ]; then archive=$name.zip; fi
mkdir -p "$place"
cd "$place"
for file in "$archive" "$archive.sha256"; do
  if ! curl --fail --silent --show-error --location --retry 3 --output "$file" \
    "$SERVER/$REPOSITORY/releases/download/v$VERSION/$file"; then
    echo "::error::release $VERSION of $REPOSITORY has no $file"
    exit 2
  fi
done
# macOS has another program for it.
if command -v sha256sum >/dev/null; then sum=(sha256sum); else sum=(shasum -a 256); fi
"${sum[@]}" -c "$archive.sha256"
case $archive in
  *.zip) unzip -q -o "$archive" ;;
  *) tar -xJf "$archive" ;;
esac
echo "$place/$name" >>"$GITHUB_PATH"
