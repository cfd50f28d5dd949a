import { entriesOf, list, number, object, oneOf, type Row, text } from "./entry.ts";

const neural: readonly Row[] = [
	[
		"neural_train",
		"changes",
		"Trains a model of patterns.",
		{ pattern_type: oneOf("coordination", "optimization", "prediction"), training_data: text("recent"), epochs: number(50) },
	],
	["neural_status", "reads", "State of a model.", { modelId: text() }],
	[
		"neural_patterns",
		"changes",
		"Analyses patterns, learns from an outcome, or predicts one.",
		{ "action!": oneOf("analyze", "learn", "predict"), operation: text(), outcome: text(), metadata: object },
	],
	["neural_predict", "reads", "One prediction of a model.", { modelId: text(), input: text() }],
	["neural_compress", "changes", "Makes a model smaller by a ratio.", { modelId: text(), ratio: number() }],
	["neural_explain", "reads", "Explains a prediction.", { modelId: text(), prediction: object }],
	["neural_sync", "changes", "Copies a model's state to another.", { sourceModel: text(), targetModel: text() }],
	["model_load", "changesForOperators", "Loads a model from a file of the machine that runs it.", { modelPath: text() }],
	["model_save", "changesForOperators", "Writes a model to a file of the machine that runs it.", { modelId: text(), path: text() }],
	["wasm_optimize", "changes", "Tunes WebAssembly kernels.", { operation: text() }],
	["inference_run", "reads", "Runs a model on many inputs.", { modelId: text(), data: list }],
	[
		"pattern_recognize",
		"here",
		"Which items of the data have which patterns in them. A pattern is text, with * for anything, or a /regular expression/.",
		{ data: list, patterns: list },
	],
	["cognitive_analyze", "reads", "Classifies a behaviour.", { behavior: text() }],
	["learning_adapt", "changes", "Learns from an experience.", { experience: object }],
	["ensemble_create", "changes", "Combines models.", { models: list, strategy: text() }],
	["transfer_learn", "changes", "Trains a model on from another, for a domain.", { sourceModel: text(), targetDomain: text() }],
];

export const neuralEntries = entriesOf("neural", neural);
