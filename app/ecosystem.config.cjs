/**
 * PM2's view of a pod: its workers, each with a port of its own that it keeps through every restart and reload.
 * `.cjs`, because PM2 reads it with `require`, and this package is of ES modules.
 */
const { readPodConfig } = require("./config.ts");

const pod = readPodConfig(process.env);

module.exports = {
	apps: [
		{
			name: "server",
			script: "main.ts",
			args: "worker",
			cwd: __dirname,
			exec_mode: "cluster",
			instances: pod.workerPorts.length,
			increment_var: "PORT",
			env: { PORT: pod.workerPorts[0], NODE_ENV: "production" },
			node_args: heap(pod.workerMemoryMib),
			max_memory_restart: `${pod.workerMemoryMib}M`,
			wait_ready: true,
			listen_timeout: 30_000,
			// A worker ends by itself within its drain; this is for one that hangs.
			kill_timeout: pod.drainMs + 3_000,
			kill_retry_time: 100,
			// A worker that dies comes back at once; one that keeps dying, ever more slowly, and never not at all.
			exp_backoff_restart_delay: 100,
			// It would need `ps`, which the image has not; workers have no children.
			treekill: false,
			pmx: false,
			vizion: false,
			// Workers write to standard output themselves.
			out_file: "/dev/null",
			error_file: "/dev/null",
		},
	],
};

/**
 * How V8 keeps a worker's heap.
 *
 * @param mib memory at which PM2 steps in
 */
function heap(mib) {
	return [
		// No room for what is not heap: memory is given back before PM2 has to step in.
		`--max-old-space-size=${mib}`,
		// What is young may have three times 8 MiB, not 16: eight workers have a fifth of a gigabyte less. With 4 it is cleared up
		// twice as often.
		"--max-semi-space-size=8",
		// What often outlives a few bursts is not made old from the beginning: it would hold all it knows until everything is cleared up.
		"--no-allocation-site-pretenuring",
		// Everything is cleared up when the heap is three times what was in use last time, or half-way from there to its most, whichever
		// is less. By itself V8 does so at 1.4 times where a heap may have half a gigabyte, however little of that is in use.
		"--heap-growing-percent=200",
		// And not because a worker has had nothing to do for a while: code that was made for what is gone has then to be compiled anew,
		// just when there is something to do. The memory is the worker's anyway.
		"--no-memory-reducer",
	];
}
