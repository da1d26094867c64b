//===- Streams.cpp - work in order, at once or as late as it may be -------===//
//
// With `late` nothing runs before a host waits for it, and then streams take
// turns at random, so that a wait that is missing shows. Order between streams
// is CUDA's: the null stream waits for all blocking ones and they for it.
//
//===----------------------------------------------------------------------===//
#include "Emulator.h"
#include <algorithm>

struct CUstream_st {};

namespace emulator {

struct Streams::Stream : CUstream_st {
  CUcontext context;
  bool isNull, isBlocking, isGone = false;
  struct Item {
    uint64_t number;
    Work work;
  };
  std::deque<Item> items;
};

Streams::Streams() = default;
Streams::~Streams() = default;

/// The handle of the null stream that CUDA has a name for.
static const auto legacy = reinterpret_cast<CUstream>(1);

CUresult Streams::create(CUcontext context, unsigned flags, CUstream &result) {
  if (flags > 1)
    return CUDA_ERROR_INVALID_VALUE;
  auto stream = std::make_unique<Stream>();
  stream->context = context;
  stream->isNull = false;
  stream->isBlocking = !flags;
  result = stream.get();
  streams.push_back(std::move(stream));
  return CUDA_SUCCESS;
}

Streams::Stream *Streams::find(CUcontext context, CUstream wanted) {
  bool isNull = !wanted || wanted == legacy;
  for (auto &stream : streams)
    if (isNull ? stream->isNull && stream->context == context
               : stream.get() == wanted && !stream->isGone)
      return stream.get();
  if (!isNull)
    return nullptr;
  CUstream made;
  create(context, 0, made);
  streams.back()->isNull = true;
  return streams.back().get();
}

/// What is left in it runs all the same.
CUresult Streams::destroy(CUstream stream) {
  Stream *found = stream && stream != legacy ? find(nullptr, stream) : nullptr;
  if (!found)
    return CUDA_ERROR_INVALID_HANDLE;
  found->isGone = true;
  return CUDA_SUCCESS;
}

CUresult Streams::enqueue(CUcontext context, CUstream stream, Work work) {
  Stream *found = find(context, stream);
  if (!found || found->context != context)
    return CUDA_ERROR_INVALID_HANDLE;
  found->items.push_back({++enqueued, std::move(work)});
  while (!machine().config.isLate && runOne())
    ;
  return CUDA_SUCCESS; // how the work ended, a later call tells
}

bool Streams::isEligible(const Stream &stream) const {
  if (stream.items.empty())
    return false;
  for (const auto &other : streams) {
    bool areOrdered = other->context == stream.context &&
                      ((other->isNull && stream.isBlocking) ||
                       (stream.isNull && other->isBlocking));
    if (other.get() != &stream && areOrdered && !other->items.empty() &&
        other->items.front().number < stream.items.front().number)
      return false;
  }
  return true;
}

/// Of any stream, by chance.
bool Streams::runOne() {
  std::vector<Stream *> eligible;
  for (const auto &stream : streams)
    if (isEligible(*stream))
      eligible.push_back(stream.get());
  if (eligible.empty() || machine().broken)
    return false;
  Stream *stream = eligible[random() % eligible.size()];
  Work work = std::move(stream->items.front().work);
  stream->items.pop_front();
  if (CUresult result = work())
    machine().broken = result;
  return true;
}

CUresult Streams::synchronize(CUcontext context, CUstream stream) {
  Stream *found = find(context, stream);
  if (!found)
    return CUDA_ERROR_INVALID_HANDLE;
  while (!found->items.empty() && runOne())
    ;
  streams.erase(std::remove_if(streams.begin(), streams.end(),
                               [](const std::unique_ptr<Stream> &s) {
                                 return s->isGone && s->items.empty();
                               }),
                streams.end());
  if (!machine().broken && !machine().memory.areIntact())
    machine().broken = CUDA_ERROR_ILLEGAL_ADDRESS;
  return machine().broken;
}

void Streams::synchronizeAll() {
  while (runOne())
    ;
}

size_t Streams::count() const {
  return size_t(std::count_if(streams.begin(), streams.end(),
                              [](const std::unique_ptr<Stream> &s) {
                                return !s->isGone && !s->isNull;
                              }));
}

} // namespace emulator
