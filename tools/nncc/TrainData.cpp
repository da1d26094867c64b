//===- TrainData.cpp - samples for training -------------------------------===//
#include "TrainData.h"
#include "Npy.h"
#include <cstring>
#include <iostream>
#include <numeric>
#include <random>
#include <zip.h>

namespace nncc {

static int fail(const std::string &text) {
  std::cerr << "nncc: " << text << '\n';
  return exitRejected;
}

static std::string shapeText(const std::vector<int64_t> &dims) {
  std::string text = "[";
  for (size_t i = 0; i < dims.size(); ++i)
    text += (i ? ", " : "") + std::to_string(dims[i]);
  return text + "]";
}

int TrainData::append(HostTensor tensor, const std::string &file) {
  if (tensor.dims.empty())
    return fail(file + ": " + tensor.name +
                " is a scalar: the first dimension must count samples");
  for (HostTensor &known : tensors) {
    if (known.name != tensor.name)
      continue;
    bool fits = known.dtype == tensor.dtype &&
                known.dims.size() == tensor.dims.size() &&
                std::equal(known.dims.begin() + 1, known.dims.end(),
                           tensor.dims.begin() + 1);
    if (!fits)
      return fail(file + ": " + tensor.name + " " +
                  nncc_dtype_name(tensor.dtype) + " " + shapeText(tensor.dims) +
                  " does not continue " + nncc_dtype_name(known.dtype) + " " +
                  shapeText(known.dims));
    known.dims[0] += tensor.dims[0];
    known.data.insert(known.data.end(), tensor.data.begin(), tensor.data.end());
    return exitDone;
  }
  tensors.push_back(std::move(tensor));
  files.push_back(file);
  return exitDone;
}

int TrainData::addSafetensors(const std::string &path) {
  nncc_file *file;
  if (int code = reportRuntime(nncc_file_read(path.c_str(), &file)))
    return code;
  int code = exitDone;
  for (uint32_t i = 0; !code && i < nncc_file_count(file); ++i) {
    const nncc_file_tensor *t = nncc_file_get(file, i);
    const char *data = static_cast<const char *>(t->data);
    code = append({t->name, t->dtype,
                   std::vector<int64_t>(t->dims, t->dims + t->rank),
                   std::vector<char>(data, data + t->bytes)},
                  path);
  }
  nncc_file_free(file);
  return code;
}

int TrainData::addArchive(const std::string &path) {
  int error = 0;
  zip_t *archive = zip_open(path.c_str(), ZIP_RDONLY, &error);
  if (!archive) {
    zip_error_t text;
    zip_error_init_with_code(&text, error);
    std::cerr << "nncc: cannot read " << path << ": "
              << zip_error_strerror(&text) << '\n';
    zip_error_fini(&text);
    return error == ZIP_ER_NOZIP ? exitRejected : exitIo;
  }
  int code = exitDone;
  for (zip_int64_t i = 0; !code && i < zip_get_num_entries(archive, 0); ++i) {
    zip_stat_t entry;
    zip_file_t *file = nullptr;
    std::string bytes;
    bool isRead = !zip_stat_index(archive, zip_uint64_t(i), 0, &entry) &&
                  (file = zip_fopen_index(archive, zip_uint64_t(i), 0));
    if (isRead) {
      bytes.resize(entry.size);
      isRead = zip_fread(file, bytes.data(), bytes.size()) ==
               zip_int64_t(bytes.size());
      zip_fclose(file);
    }
    HostTensor tensor;
    std::string problem = isRead ? "" : zip_strerror(archive);
    if (!isRead || !parseNpy(bytes, tensor, problem)) {
      code = fail(path + ": " + (entry.name ? entry.name : "an entry") + ": " +
                  problem);
      continue;
    }
    tensor.name = entry.name;
    if (hasSuffix(tensor.name, ".npy"))
      tensor.name.resize(tensor.name.size() - 4);
    code = append(std::move(tensor), path);
  }
  zip_discard(archive);
  return code;
}

int TrainData::add(const std::string &text) {
  size_t at = text.find("=@");
  if (at != std::string::npos) {
    HostTensor tensor;
    std::string path = text.substr(at + 2), error;
    if (!readNpy(path, tensor, error))
      return fail(error);
    tensor.name = text.substr(0, at);
    return append(std::move(tensor), path);
  }
  if (hasSuffix(text, ".npz"))
    return addArchive(text);
  if (hasSuffix(text, ".safetensors"))
    return addSafetensors(text);
  std::cerr << "nncc: --data " << text
            << ": expected FILE.npz, FILE.safetensors or NAME=@FILE.npy\n";
  return exitUsage;
}

int TrainData::check(const nncc_entry &entry, const nncc_body &body) {
  std::vector<HostTensor> ordered;
  for (uint64_t i = 0; i < entry.input_count; ++i) {
    const nncc_tensor &input = body.inputs[i];
    if (input.initial)
      continue;
    std::string name = input.name;
    size_t k = 0;
    while (k < tensors.size() && tensors[k].name != name)
      ++k;
    if (k == tensors.size())
      return fail("the data have no array \"" + name + "\"");
    HostTensor &tensor = tensors[k];
    std::vector<int64_t> want(input.dims, input.dims + input.rank);
    if (want.empty() || want[0] == 0)
      return fail("input " + name + " has no first dimension for samples");
    bool fits =
        tensor.dtype == nncc_dtype(input.dtype) &&
        tensor.dims.size() == want.size() &&
        std::equal(want.begin() + 1, want.end(), tensor.dims.begin() + 1);
    if (!fits)
      return fail(
          files[k] + ": " + name + " is " + nncc_dtype_name(tensor.dtype) +
          " " + shapeText(tensor.dims) + ", a batch of the model is " +
          nncc_dtype_name(nncc_dtype(input.dtype)) + " " + shapeText(want));
    if (ordered.empty()) {
      count = size_t(tensor.dims[0]);
      batch = size_t(want[0]);
    }
    if (count != size_t(tensor.dims[0]))
      return fail(files[k] + ": " + name + " has " +
                  std::to_string(tensor.dims[0]) + " samples, " +
                  ordered[0].name + " " + std::to_string(count));
    if (batch != size_t(want[0]))
      return fail("input " + name + " takes " + std::to_string(want[0]) +
                  " samples at a time, " + ordered[0].name + " " +
                  std::to_string(batch));
    ordered.push_back(std::move(tensor));
  }
  tensors = std::move(ordered);
  if (tensors.empty())
    return fail("the entry has no inputs to train on");
  if (count < batch)
    return fail("the data have " + std::to_string(count) +
                " samples, a batch needs " + std::to_string(batch));
  return exitDone;
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
