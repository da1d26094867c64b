//===- Names.h - attributes that tie a module to its model ------*- C++ -*-===//
//
// Discardable attributes that one stage sets and a later one reads.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_DIALECT_NAMES_H
#define NNCC_DIALECT_NAMES_H

namespace nncc {

/// On the module: the model's name, and its state (names and types, in order).
inline constexpr const char *modelNameAttr = "nncc.model";
inline constexpr const char *weightsAttr = "nncc.weights";
inline constexpr const char *weightTypesAttr = "nncc.weight_types";
/// On the module: per tensor of its state, whether files may lack it and it
/// then is zeros: an optimizer's.
inline constexpr const char *freshAttr = "nncc.fresh";
/// Other names that weights files may use for state.
inline constexpr const char *aliasesAttr = "nncc.aliases";
/// On a function: the entry that it is a body of.
inline constexpr const char *entryAttr = "nncc.entry";
/// On an argument or result: its name in the model.
inline constexpr const char *valueNameAttr = "nncc.name";

/// On a result: the entry writes it in place of the state that it is named
/// after. Results with the same number are elementwise and of one shape.
inline constexpr const char *updateAttr = "nncc.update";
/// On a result that is a gradient: from which outputs of the model autograd has
/// a path to what it is of, as "y,z".
inline constexpr const char *reachedAttr = "nncc.reached";
/// On an argument: its value where a call gives none.
inline constexpr const char *defaultAttr = "nncc.default";
/// On an argument: the entry's [seed, step], which the runtime gives.
inline constexpr const char *keyAttr = "nncc.key";
/// On a function: that of the steps that only add up gradients, and how many
/// there are to an update with this one.
inline constexpr const char *accumulateAttr = "nncc.accumulate";
inline constexpr const char *periodAttr = "nncc.period";
/// On an entry: the bytes of its arena.
inline constexpr const char *arenaAttr = "nncc.arena";
/// On a call: why each operand comes from memory.
inline constexpr const char *reasonsAttr = "nncc.reasons";
/// On a call: an earlier one gave the same, which was not kept.
inline constexpr const char *recomputedAttr = "nncc.recomputed";
/// On a kernel's argument: a result may be written over it.
inline constexpr const char *inPlaceAttr = "nncc.in_place";

/// On an argument: [first, limit, except, ...], its elements lie in each
/// [first, limit) or are its except.
inline constexpr const char *limitAttr = "nncc.limit";
/// Of an entry: the sizes of symbolic dims that it was made for, "N=1,T=8".
inline constexpr const char *sizesAttr = "nncc.sizes";
/// Of the module: its "training" section without spaces.
inline constexpr const char *trainingAttr = "nncc.training";
/// Of the module: a hash of what its file says it computes.
inline constexpr const char *graphAttr = "nncc.graph";
/// On a contraction, until kernels are formed: its right side lies in panels.
inline constexpr const char *packedAttr = "nncc.packed";

/// On a kernel: a hash of its text, the same in every model; the numbers that
/// it is tiled with, by name; how many tiles it has.
inline constexpr const char *kernelKeyAttr = "nncc.kernel_key";
inline constexpr const char *scheduleAttr = "nncc.schedule";
inline constexpr const char *tilesAttr = "nncc.tiles";
/// On a kernel: its kind, for the target (codegen/kernels/KernelKind.h).
inline constexpr const char *kindAttr = "nncc.kind";

} // namespace nncc
#endif // NNCC_DIALECT_NAMES_H
