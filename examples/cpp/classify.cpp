// classify.cpp - the same from C++: unique_ptr, threads, checked tensors.
#include "classifier.h"
#include <array>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <vector>

static void check(nncc_status status) {
  if (status)
    throw std::runtime_error(nncc_last_error());
}

int main() try {
  const nncc_model *model = classifier_model();
  nncc_weights *raw;
  check(nncc_weights_create(model, &raw));
  std::unique_ptr<nncc_weights, decltype(&nncc_weights_free)> weights(
      raw, nncc_weights_free);
  for (uint64_t i = 0; i < model->weight_count; ++i) {
    const nncc_tensor &tensor = model->weights[i];
    std::vector<float> data(tensor.bytes / sizeof(float));
    for (size_t k = 0; k < data.size(); ++k)
      data[k] = static_cast<float>((k * 37 + i * 11) % 19) / 19.0f - 0.5f;
    check(nncc_weights_set(raw, tensor.name, data.data(), tensor.bytes));
  }
  check(nncc_weights_prepare(raw));

  nncc_options options = {2, nullptr, nullptr};
  nncc_context *context;
  check(nncc_context_create(model, raw, &options, &context));
  std::unique_ptr<nncc_context, decltype(&nncc_context_free)> owner(
      context, nncc_context_free);
  std::array<float, 64> x;
  std::array<float, 3> p;
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(i % 8) / 8.0f;
  const std::array<int64_t, 4> in = {1, 1, 8, 8};
  const std::array<int64_t, 2> out = {1, 3};
  nncc_view input = {x.data(), NNCC_F32, 4, in.data()};
  nncc_view output = {p.data(), NNCC_F32, 2, out.data()};
  check(nncc_run(context, "forward", &input, 1, &output, 1));
  std::printf("%.4f %.4f %.4f\n", p[0], p[1], p[2]);
} catch (const std::exception &error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
