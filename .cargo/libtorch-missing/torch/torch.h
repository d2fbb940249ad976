// Found only where libtorch's own headers are not: .cargo/config.toml puts this folder last in the
// compiler's search path, so that a build without libtorch ends with the next step.
#error "libtorch is missing, or LIBTORCH points elsewhere. Run: python3 scripts/libtorch.py"
// Ends the compiler here, where #error alone would let 40,000 more lines of errors follow.
#include <libtorch, which scripts/libtorch.py fetches>
