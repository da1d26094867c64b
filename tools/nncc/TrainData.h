//===- TrainData.h - samples for training -----------------------*- C++ -*-===//
//
// Arrays whose first dimension counts samples, from files; batches of them in
// an order that seed and epoch alone decide.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_TOOLS_TRAINDATA_H
#define NNCC_TOOLS_TRAINDATA_H

#include "Session.h"

namespace nncc {

class TrainData {
public:
  /// Appends the arrays of a file, or, as "x=@FILE.npy", one array. An exit
  /// code and a sentence that names `flag` if that fails.
  int add(const std::string &flag, const std::string &text);
  /// Checks that every input of the entry's body that must be given is there
  /// and fits with any number of samples, and that nothing else is there.
  int check(const nncc_entry &entry, const nncc_body &body);

  size_t samples() const { return count; }
  size_t batchSize() const { return batch; }
  size_t batches() const { return count / batch; }
  /// Samples of the last partial batch, which no epoch has.
  size_t leftOut() const { return count % batch; }
  /// "2 of 42 samples fill no batch of 4".
  std::string leftOutText() const;
  /// Of all that the entry takes, in hexadecimal.
  std::string hash() const;

  /// Fills `inputs` (those of the body, in order) with a batch of an epoch.
  void fill(std::vector<HostTensor> &inputs, size_t index) const;
  /// Makes the order of an epoch: shuffled by `seed`, or as in the files.
  void order(uint64_t seed, uint64_t epoch, bool shuffled);

  /// The file of "FILE" or "NAME=@FILE".
  static std::string pathOf(const std::string &text);

private:
  int append(HostTensor tensor, const std::string &file);
  int fits(const HostTensor &tensor, const std::string &file,
           const nncc_tensor &input) const;

  std::vector<HostTensor> tensors;
  std::vector<std::string> files; // the first one of each tensor
  std::string flag;
  std::vector<size_t> permutation;
  size_t count = 0, batch = 1;
};

} // namespace nncc
#endif // NNCC_TOOLS_TRAINDATA_H
