import { defineConfig } from "vitest/config";

/** Real daemons take time to start, and share this machine's processors: one file after another. */
const daemons = { fileParallelism: false, testTimeout: 60_000, hookTimeout: 120_000, teardownTimeout: 30_000 };

export default defineConfig({
	test: {
		pool: "forks",
		maxWorkers: "100%", // the default leaves a processor idle
		projects: [
			{
				extends: true,
				test: {
					name: "unit",
					include: ["**/*.test.ts"],
					exclude: [
						"**/node_modules/**",
						"test/haproxy/**",
						"test/cluster/**",
						"test/app/**",
						"test/page/**",
						"test/local/**",
						"test/image/**",
					],
					// The processors may be busy with something else.
					testTimeout: 60_000,
					hookTimeout: 60_000,
				},
			},
			{ extends: true, test: { name: "haproxy", include: ["test/haproxy/**/*.test.ts"], ...daemons } },
			{ extends: true, test: { name: "cluster", include: ["test/cluster/**/*.test.ts"], ...daemons } },
			{ extends: true, test: { name: "app", include: ["test/app/**/*.test.ts"], ...daemons, fileParallelism: true } },
			{
				extends: true,
				test: { name: "local", include: ["test/local/**/*.test.ts"], ...daemons, testTimeout: 180_000, hookTimeout: 240_000 },
			},
			{ extends: true, test: { name: "page", include: ["test/page/**/*.test.ts"], ...daemons } },
			{ extends: true, test: { name: "image", include: ["test/image/**/*.test.ts"], ...daemons } },
		],
	},
});
