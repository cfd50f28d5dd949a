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
			// A heap that leaves no room to what is not heap: memory is given back before PM2 has to step in. What is young may have
			// three times 8 MiB, not 16: eight workers have a fifth of a gigabyte less. With 4 it is cleared up twice as often. And what
			// often outlives a few bursts is not made old from the beginning: it would hold everything it knows until all is cleared up.
			node_args: [`--max-old-space-size=${pod.workerMemoryMib}`, "--max-semi-space-size=8", "--no-allocation-site-pretenuring"],
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
