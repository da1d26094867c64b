//===- TrainData.cpp - samples for training -------------------------------===//
#include "TrainData.h"
#include "Arrays.h"
#include "support/Diagnostics.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/xxhash.h"
#include <cstring>
#include <numeric>
#include <random>

namespace nncc {

std::string TrainData::pathOf(const std::string &text) {
  size_t at = text.find("=@");
  return at == text.npos ? text : text.substr(at + 2);
}

int TrainData::append(HostTensor tensor, const std::string &file) {
  if (tensor.dims.empty())
    return fail(exitRejected,
                file + ": " + tensor.name +
                    " is a scalar: the first dimension must count samples",
                file);
  for (HostTensor &known : tensors) {
    if (known.name != tensor.name)
      continue;
    bool fits = known.dtype == tensor.dtype &&
                known.dims.size() == tensor.dims.size() &&
                std::equal(known.dims.begin() + 1, known.dims.end(),
                           tensor.dims.begin() + 1);
    if (!fits)
      return fail(
          exitRejected,
          file + ": " + tensor.name + " " + nncc_dtype_name(tensor.dtype) +
              " " + shapeText(tensor.dims) + " does not continue " +
              nncc_dtype_name(known.dtype) + " " + shapeText(known.dims),
          file);
    known.dims[0] += tensor.dims[0];
    known.data.insert(known.data.end(), tensor.data.begin(), tensor.data.end());
    return exitDone;
  }
  tensors.push_back(std::move(tensor));
  files.push_back(file);
  return exitDone;
}

int TrainData::add(const std::string &flagName, const std::string &text) {
  flag = flagName;
  std::string path = pathOf(text);
  if (path != text) {
    HostTensor tensor;
    if (int code = readArray(path, text.substr(0, text.find("=@")), tensor))
      return code;
    return append(std::move(tensor), path);
  }
  std::vector<HostTensor> arrays;
  if (int code = readArrays(path, arrays))
    return code;
  for (HostTensor &array : arrays) {
    if (array.name.empty())
      return fail(exitUsage, flag + " " + path +
                                 ": a .npy file has no name, give " + flag +
                                 " NAME=@" + path);
    if (int code = append(std::move(array), path))
      return code;
  }
  return exitDone;
}

/// How samples get the type of the input, if NumPy has it.
static std::string howToConvert(const HostTensor &tensor,
                                const nncc_tensor &input) {
  static const char *const names[] = {"float32", "float64", "float16", "",
                                      "int64",   "int32",   "int16",   "int8",
                                      "uint8",   "bool"};
  if (tensor.dtype == nncc_dtype(input.dtype) || !*names[input.dtype])
    return "";
  return ": save it as .astype('" + std::string(names[input.dtype]) + "')";
}

int TrainData::fits(const HostTensor &tensor, const std::string &file,
                    const nncc_tensor &input) const {
  std::vector<int64_t> want(input.dims, input.dims + input.rank);
  std::string name = input.name;
  if (want.empty() || want[0] == 0)
    return fail(exitRejected,
                "input " + name + " has no first dimension for samples");
  if (tensor.dtype != nncc_dtype(input.dtype) ||
      tensor.dims.size() != want.size() ||
      !std::equal(want.begin() + 1, want.end(), tensor.dims.begin() + 1))
    return fail(exitRejected,
                file + ": " + name + " is " + nncc_dtype_name(tensor.dtype) +
                    " " + shapeText(tensor.dims) +
                    ", a batch of the model is " +
                    nncc_dtype_name(nncc_dtype(input.dtype)) + " " +
                    shapeText(want) + howToConvert(tensor, input),
                file);
  return exitDone;
}

int TrainData::check(const nncc_entry &entry, const nncc_body &body) {
  std::vector<HostTensor> ordered;
  std::vector<std::string> names;
  for (uint64_t i = 0; i < entry.input_count; ++i) {
    const nncc_tensor &input = body.inputs[i];
    if (input.initial)
      continue;
    std::string name = input.name;
    names.push_back(name);
    size_t k = 0;
    while (k < tensors.size() && tensors[k].name != name)
      ++k;
    if (k == tensors.size())
      return fail(exitRejected, "the data have no array \"" + name + "\": " +
                                    flag + " needs one for each input");
    if (int code = fits(tensors[k], files[k], input))
      return code;
    HostTensor &tensor = tensors[k];
    if (ordered.empty()) {
      count = size_t(tensor.dims[0]);
      batch = size_t(input.dims[0]);
    }
    if (count != size_t(tensor.dims[0]))
      return fail(exitRejected,
                  files[k] + ": " + name + " has " +
                      std::to_string(tensor.dims[0]) + " samples, " +
                      ordered[0].name + " " + std::to_string(count),
                  files[k]);
    if (batch != size_t(input.dims[0]))
      return fail(exitRejected, "input " + name + " takes " +
                                    std::to_string(input.dims[0]) +
                                    " samples at a time, " + ordered[0].name +
                                    " " + std::to_string(batch));
    ordered.push_back(std::move(tensor));
    tensors.erase(tensors.begin() + long(k));
    files.erase(files.begin() + long(k));
  }
  if (!tensors.empty())
    return fail(exitRejected,
                files[0] + " has an array \"" + tensors[0].name +
                    "\", which is no input of " + entry.name + ": " +
                    (names.size() == 1 ? "it is " : "they are ") +
                    listOf(names),
                files[0]);
  tensors = std::move(ordered);
  if (tensors.empty())
    return fail(exitRejected, "the entry has no inputs to train on");
  if (count < batch)
    return fail(exitRejected, "the data have " + std::to_string(count) +
                                  " samples, a batch needs " +
                                  std::to_string(batch));
  return exitDone;
}

std::string TrainData::leftOutText() const {
  return std::to_string(leftOut()) + " of " + std::to_string(count) +
         " samples fill" + (leftOut() == 1 ? "s" : "") + " no batch of " +
         std::to_string(batch);
}

std::string TrainData::hash() const {
  std::string all;
  for (const HostTensor &tensor : tensors) {
    llvm::ArrayRef<uint8_t> bytes(
        reinterpret_cast<const uint8_t *>(tensor.data.data()),
        tensor.data.size());
    all += tensor.name + ":" + llvm::utohexstr(llvm::xxh3_64bits(bytes)) + ";";
  }
  return llvm::utohexstr(llvm::xxh3_64bits(all));
}

void TrainData::order(uint64_t seed, uint64_t epoch, bool shuffled) {
  permutation.resize(count);
  std::iota(permutation.begin(), permutation.end(), size_t(0));
  if (!shuffled)
    return;
  // Fisher and Yates; the engine is the same everywhere, std::shuffle is not.
  std::seed_seq key = {uint32_t(seed), uint32_t(seed >> 32), uint32_t(epoch),
                       uint32_t(epoch >> 32)};
  std::mt19937_64 engine(key);
  for (size_t i = count; i > 1; --i)
    std::swap(permutation[i - 1], permutation[engine() % i]);
}

void TrainData::fill(std::vector<HostTensor> &inputs, size_t index) const {
  for (size_t k = 0; k < tensors.size(); ++k) {
    size_t bytes = tensors[k].data.size() / count;
    for (size_t i = 0; i < batch; ++i)
      memcpy(inputs[k].data.data() + i * bytes,
             tensors[k].data.data() + permutation[index * batch + i] * bytes,
             bytes);
  }
}

} // namespace nncc
