//===- Recurrent.cpp - RNN, LSTM and GRU ----------------------------------===//
//
// The input's part of all gates is one product over all steps; a scan over it
// multiplies with the hidden state and does the elementwise work. With
// `lengths` a layer behaves as on a PackedSequence, with padded tensors.
// Formulas: torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN.
//
//===----------------------------------------------------------------------===//
#include "frontend/modules/Fragments.h"
#include "support/Size.h"

namespace nncc {

/// What the classes differ in.
struct Cell {
  int64_t gates, states;
  /// The recurrent product is used with its bias alone (GRU's new gate).
  bool hasOwnBias;
  /// Advances the state, h and for LSTM the cell, given the input's part of the
  /// gates (B, G) and the recurrent part.
  void (*step)(Call &, Expr x, Expr product, std::vector<Expr> &state);
};

/// "_l0", "_l0_reverse".
static std::string suffix(int64_t layer, int64_t direction) {
  return "_l" + std::to_string(layer) + (direction ? "_reverse" : "");
}

static void declareState(Call &c, const Cell &cell,
                         std::vector<StateDef> &state) {
  int64_t hidden = c.integer("hidden_size");
  int64_t gates(Size(cell.gates) * hidden);
  std::string dtype = c.word("dtype").str();
  auto add = [&](const std::string &name, Ints shape) {
    state.push_back({name, llvm::to_vector(shape), false, dtype});
  };
  int64_t directions = c.flag("bidirectional") ? 2 : 1;
  for (int64_t layer = 0; layer < c.integer("num_layers"); ++layer)
    for (int64_t d = 0; d < directions; ++d) {
      int64_t in =
          layer ? int64_t(Size(hidden) * directions) : c.integer("input_size");
      std::string end = suffix(layer, d);
      add("weight_ih" + end, {gates, in});
      add("weight_hh" + end, {gates, hidden});
      if (!c.flag("bias"))
        continue;
      add("bias_ih" + end, {gates});
      add("bias_hh" + end, {gates});
    }
}

static Expr gate(Call &c, Expr gates, int64_t i) {
  int64_t hidden = c.integer("hidden_size");
  return slice(gates, gates.rank() - 1, i * hidden, hidden);
}

static void stepLstm(Call &c, Expr x, Expr product, std::vector<Expr> &state) {
  Expr &h = state[0], &cell = state[1], gates = x + product;
  Expr i = sigmoid(gate(c, gates, 0)), f = sigmoid(gate(c, gates, 1));
  Expr g = tanh(gate(c, gates, 2)), o = sigmoid(gate(c, gates, 3));
  cell = f * cell + i * g;
  h = o * tanh(cell);
}

static void stepGru(Call &c, Expr x, Expr product, std::vector<Expr> &state) {
  Expr &h = state[0];
  Expr r = sigmoid(gate(c, x, 0) + gate(c, product, 0));
  Expr z = sigmoid(gate(c, x, 1) + gate(c, product, 1));
  Expr n = tanh(gate(c, x, 2) + r * gate(c, product, 2));
  h = n + z * (h - n); // (1 - z) n + z h
}

static void stepElman(Call &c, Expr x, Expr product, std::vector<Expr> &state) {
  Expr sum = x + product;
  state[0] =
      c.word("nonlinearity") == "relu" ? max(sum, 0.0, Ties::rhs) : tanh(sum);
}

/// x (T, B, I) -> (T, B, H); `state` (B, H) each becomes the final one. With
/// `alive` (T, B, 1) a sequence keeps its state beyond its end and gives zeros.
/// Of halves only h is rounded, once in a step.
static Expr runDirection(Call &c, const Cell &cell, Expr x, Expr alive,
                         int64_t layer, int64_t direction,
                         std::vector<Expr> &state) {
  std::string end = suffix(layer, direction);
  mlir::Type own = x.element(), sums = computeType(own);
  auto tensor = [&](const std::string &name) { return c.tensor(name + end); };
  Expr gates = linear(x, tensor("weight_ih"), sums);
  std::vector<Expr> sequences, weights{tensor("weight_hh")};
  if (c.flag("bias")) {
    Expr bias = convert(tensor("bias_ih"), sums);
    Expr recurrentBias = convert(tensor("bias_hh"), sums);
    if (cell.hasOwnBias)
      weights.push_back(recurrentBias);
    else
      bias = bias + recurrentBias;
    gates = gates + bias;
  }
  sequences.push_back(gates);
  for (Expr &inner : llvm::drop_begin(state)) // never rounded between steps
    inner = convert(inner, sums);
  if (alive)
    sequences.push_back(alive);
  Scanned run = scan(state, sequences, weights, direction,
                     [&](std::vector<Expr> &now, llvm::ArrayRef<Expr> inputs,
                         llvm::ArrayRef<Expr> fixed) {
                       std::vector<Expr> old = now;
                       Expr &h = now[0];
                       Expr product = linear(h, fixed[0], sums);
                       if (fixed.size() > 1)
                         product = product + fixed[1];
                       h = convert(h, sums);
                       cell.step(c, inputs[0], product, now);
                       h = convert(h, own);
                       if (!alive)
                         return std::vector<Expr>{h};
                       for (auto [next, before] : llvm::zip_equal(now, old))
                         next = select(inputs[1], next, before);
                       Expr zero = full(x.context(), own, h.shape(), 0);
                       return std::vector<Expr>{select(inputs[1], h, zero)};
                     });
  state = run.finals;
  for (Expr &final : state)
    final = convert(final, own);
  return run.stacks[0];
}

/// Initial states (L * D, B, H), checked; zeros if none are given. Those of one
/// sequence without a batch are (L * D, H).
static bool initialStates(Call &c, size_t needed, Expr x, bool isBatch,
                          int64_t count, std::vector<Expr> &states) {
  int64_t hidden = c.integer("hidden_size");
  llvm::SmallVector<int64_t> shape{count, x.dim(1), hidden}, given(shape);
  if (!isBatch)
    given.erase(given.begin() + 1);
  states = c.tensors("hx");
  if (c.hasTensor("hx"))
    states = {c.tensor("hx")};
  if (states.empty())
    states.assign(needed, full(x.context(), x.element(), given, 0));
  for (Expr &state : states) {
    if (states.size() != needed || state.shape() != Ints(given)) {
      c.error("hx", "initial states must have shape " + shapeText(given) +
                        ", got " + shapeText(state.shape()));
      return false;
    }
    state = reshape(state, shape);
  }
  return true;
}

/// `lengths` as a mask (T, B, 1) of the steps inside each sequence.
static bool insideSequences(Call &c, Expr x, Expr &alive) {
  Expr lengths = c.tensor("lengths");
  int64_t steps = x.dim(0), batch = x.dim(1);
  if (lengths.shape() != Ints({batch})) {
    c.error("lengths", "lengths must have shape " + shapeText({batch}) +
                           ", one per sequence, got " +
                           shapeText(lengths.shape()));
    return false;
  }
  c.limitInput(lengths, 1, steps + 1); // as pack_padded_sequence asks
  lengths = asNumbers(lengths);
  Expr t = iota(x.context(), lengths.element(), {steps, batch, 1}, 0);
  alive = compare(Predicate::lt, t, reshape(lengths, {1, batch, 1}));
  return true;
}

static Result emitRecurrent(Call &c, const Cell &cell) {
  Expr x = c.tensor("input");
  bool isBatch = x.rank() == 3;
  bool batchFirst = isBatch && c.flag("batch_first");
  if (!isBatch) // (T, I): one sequence
    x = reshape(x, {x.dim(0), 1, x.dim(1)});
  if (batchFirst)
    x = swapDims(x, 0, 1);
  if (x.dim(0) == 0)
    return c.error("", "the sequence must not be empty");
  int64_t layers = c.integer("num_layers");
  int64_t directions = c.flag("bidirectional") ? 2 : 1;
  std::vector<Expr> states, last[2]; // of h and of LSTM's cell
  if (!initialStates(c, cell.states, x, isBatch, layers * directions, states))
    return {};
  Expr alive;
  if (c.hasTensor("lengths") && !insideSequences(c, x, alive))
    return {};
  for (int64_t layer = 0; layer < layers; ++layer) {
    std::vector<Expr> outputs;
    for (int64_t d = 0; d < directions; ++d) {
      int64_t i = layer * directions + d;
      std::vector<Expr> state;
      for (Expr all : states)
        state.push_back(reshape(slice(all, 0, i, 1), all.shape().drop_front()));
      outputs.push_back(runDirection(c, cell, x, alive, layer, d, state));
      for (auto [k, final] : llvm::enumerate(state))
        last[k].push_back(reshape(final, {1, final.dim(0), final.dim(1)}));
    }
    x = concat(outputs, 2);
    if (c.trains && layer + 1 < layers)
      x = c.dropout(x, c.number("dropout"));
  }
  auto unbatched = [&](Expr all) {
    return isBatch ? all : reshape(all, {all.dim(0), all.dim(2)});
  };
  Result y = batchFirst ? swapDims(x, 0, 1) : unbatched(x);
  Result h = unbatched(concat(last[0], 0));
  if (last[1].empty())
    return Result::tuple({y, h});
  Result cells = unbatched(concat(last[1], 0));
  return Result::tuple({y, Result::tuple({h, cells})});
}

static void recurrent(Registry &r, const char *name, const char *doc, ArgDef hx,
                      ArgDefs more, Cell cell) {
  ArgDefs args = {integer("input_size").min(1),
                  integer("hidden_size").min(1),
                  integer("num_layers", 1).min(1).max(256),
                  flag("bias", true),
                  flag("batch_first", false),
                  number("dropout", 0.0).min(0).max(1),
                  flag("bidirectional", false)};
  llvm::append_range(args, more);
  define(r, doc)
      .operands({tensor("input").shaped({"L", "N?", "input_size"}),
                 hx.optional(),
                 tensor("lengths").optional().of(Elements::integers)})
      .module(name, args)
      .declare([cell](Call &c, std::vector<StateDef> &state) {
        declareState(c, cell, state);
      })
      .types(floating)
      .emit([cell](Call &c) { return emitRecurrent(c, cell); });
}

void registerRecurrent(Registry &r) {
  recurrent(r, "nn.LSTM", "long short-term memory", tensors("hx"), {},
            {4, 2, false, stepLstm});
  recurrent(r, "nn.GRU", "gated recurrent unit", tensor("hx"), {},
            {3, 1, true, stepGru});
  recurrent(r, "nn.RNN", "Elman network", tensor("hx"),
            {word("nonlinearity", {"tanh", "relu"}, "tanh")},
            {1, 1, false, stepElman});
}

} // namespace nncc
