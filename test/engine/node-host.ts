/**
 * Runs the project as the Pulumi engine does: its Node language host as a process of its own, speaking gRPC to a
 * monitor and an engine. Both are stand-ins: the monitor is the one of the offline preview, so it has no providers.
 */
import { createRequire } from "node:module";
import * as grpc from "@grpc/grpc-js";
import engineGrpc from "@pulumi/pulumi/proto/engine_grpc_pb.js";
import engineProto from "@pulumi/pulumi/proto/engine_pb.js";
import resourceGrpc from "@pulumi/pulumi/proto/resource_grpc_pb.js";
import { execa } from "execa";
import empty from "google-protobuf/google/protobuf/empty_pb.js";
import type { StackRecord } from "../../core/record.ts";
import { RecordingMonitor } from "../../preview/record.ts";

const host = createRequire(import.meta.url).resolve("@pulumi/pulumi/cmd/run");

export interface HostRun {
	readonly exitCode: number | undefined;
	/** What the program told its user, through the engine. */
	readonly log: readonly string[];
	readonly record: StackRecord;
}

/** One run of `program` in `root`, with configuration as the engine passes it: every value text, structured ones JSON. */
export async function runUnderHost(options: {
	readonly root: string;
	readonly program: string;
	readonly project: string;
	readonly stack: string;
	readonly config: Readonly<Record<string, string>>;
	readonly dryRun: boolean;
	/** Whether errors have stack traces, as they have by default. The SDK takes one for every promise: most of a run. */
	readonly stackTraces: boolean;
}): Promise<HostRun> {
	// In an update every resource has an id; what else a provider computes, this one leaves out.
	const answer = options.dryRun ? undefined : (_type: string, name: string) => ({ id: name });
	const monitor = new RecordingMonitor({ project: options.project, stack: options.stack, answer });
	const log: string[] = [];
	const server = new grpc.Server({ "grpc.max_receive_message_length": -1 });
	server.addService(resourceGrpc.ResourceMonitorService, monitorService(monitor));
	server.addService(engineGrpc.EngineService, engineService(log));
	const port = await new Promise<number>((resolve, reject) =>
		server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound))),
	);
	try {
		const address = `127.0.0.1:${port}`;
		const { exitCode } = await execa(
			process.execPath,
			[
				host,
				`--monitor=${address}`,
				`--engine=${address}`,
				`--project=${options.project}`,
				`--root-directory=${options.root}`,
				`--stack=${options.stack}`,
				`--pwd=${options.root}`,
				"--parallel=16",
				...(options.dryRun ? ["--dry-run"] : []),
				options.program,
			],
			{
				cwd: options.root,
				reject: false,
				env: {
					PULUMI_CONFIG: JSON.stringify(options.config),
					PULUMI_NODEJS_TYPESCRIPT: "false",
					...(options.stackTraces ? {} : { NODE_OPTIONS: "--stack-trace-limit=0" }),
				},
			},
		);
		return { exitCode, log, record: monitor.result() };
	} finally {
		server.forceShutdown();
	}
}

// biome-ignore lint/suspicious/noExplicitAny: generated service types carry no request types
type Handler = grpc.handleUnaryCall<any, any>;

function monitorService(monitor: RecordingMonitor): Record<string, Handler> {
	const done: Handler = (_call, callback) => callback(null, new empty.Empty());
	return {
		getDeploymentInfo: (call, callback) => monitor.getDeploymentInfo(call.request, callback),
		registerResource: (call, callback) => monitor.registerResource(call.request, callback),
		registerResourceOutputs: (call, callback) =>
			monitor.registerResourceOutputs(call.request, (error) => callback(error, new empty.Empty())),
		invoke: (call, callback) => monitor.invoke(call.request, callback as never),
		readResource: (call, callback) => monitor.readResource(call.request, callback as never),
		signalAndWaitForShutdown: done,
	};
}

function engineService(log: string[]): Record<string, Handler> {
	let root = "";
	return {
		log: (call, callback) => {
			if (call.request.getSeverity() > engineProto.LogSeverity.DEBUG) log.push(call.request.getMessage());
			callback(null, new empty.Empty());
		},
		getRootResource: (_call, callback) => {
			const response = new engineProto.GetRootResourceResponse();
			response.setUrn(root);
			callback(null, response);
		},
		setRootResource: (call, callback) => {
			root = call.request.getUrn();
			callback(null, new engineProto.SetRootResourceResponse());
		},
	};
}
