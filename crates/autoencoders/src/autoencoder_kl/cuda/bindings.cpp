// CUDA graphs and the allocator's peak, which tch has no binding for. Every function returns null, or a message that
// `vae_fidelity_free` frees; no exception leaves.

#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

namespace {

template <typename Body>
char *attempt(Body body) {
  try {
    body();
    return nullptr;
  } catch (const c10::Error &error) {
    return strdup(error.what_without_backtrace());
  } catch (const std::exception &error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("an unknown C++ exception");
  }
}

c10::DeviceIndex index(int device) { return static_cast<c10::DeviceIndex>(device); }

// A graph, and the stream that it is captured on while it is.
struct Captured {
  at::cuda::CUDAGraph graph;
  std::optional<c10::cuda::CUDAStreamGuard> stream;
};

}  // namespace

extern "C" {

void vae_fidelity_free(char *message) { free(message); }

// The stream that libtorch queues work of `device` on from this thread, as CUstream.
char *vae_fidelity_stream(int device, void **stream) {
  return attempt([&] { *stream = c10::cuda::getCurrentCUDAStream(index(device)).stream(); });
}

// The most bytes that tensors on `device` have taken since the last call with `reset`.
char *vae_fidelity_peak_bytes(int device, int reset, int64_t *bytes) {
  return attempt([&] {
    *bytes = c10::cuda::CUDACachingAllocator::getDeviceStats(index(device)).allocated_bytes[0].peak;
    if (reset) c10::cuda::CUDACachingAllocator::resetPeakStats(index(device));
  });
}

// From here to `vae_fidelity_graph_end`, what this thread queues on `device` is recorded instead of run.
char *vae_fidelity_graph_begin(int device, void **graph) {
  return attempt([&] {
    auto captured = std::make_unique<Captured>();
    c10::cuda::device_synchronize();
    captured->stream.emplace(c10::cuda::getStreamFromPool(false, index(device)));
    captured->graph.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    *graph = captured.release();
  });
}

char *vae_fidelity_graph_end(void *graph) {
  return attempt([&] {
    auto *captured = static_cast<Captured *>(graph);
    struct Leave {
      Captured *captured;
      ~Leave() { captured->stream.reset(); }
    } leave{captured};
    captured->graph.capture_end();
  });
}

char *vae_fidelity_graph_replay(void *graph) {
  return attempt([&] { static_cast<Captured *>(graph)->graph.replay(); });
}

char *vae_fidelity_graph_delete(void *graph) {
  return attempt([&] { delete static_cast<Captured *>(graph); });
}
}
