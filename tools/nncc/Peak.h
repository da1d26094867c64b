//===- Peak.h - what this machine can do at most ----------------*- C++ -*-===//
#ifndef NNCC_TOOLS_PEAK_H
#define NNCC_TOOLS_PEAK_H

namespace nncc {

/// Measured f32 multiply-add rate of one core in GFLOP/s, with the widest
/// vectors of this machine; takes some 20 ms.
double measurePeak();

} // namespace nncc
#endif // NNCC_TOOLS_PEAK_H
