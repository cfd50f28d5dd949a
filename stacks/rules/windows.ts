/** When AWS may back up and maintain what holds the data: it refuses windows that are too short, and two that overlap. */
import type { Fault } from "../../core/errors.ts";
import type { Rule } from "./rule.ts";

const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY = 24 * 60;
const WEEK = DAYS.length * DAY;

export const windowRules = {
	/** https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html */
	postgresWindows: ({ postgres: { backupWindow, maintenanceWindow } }) =>
		faultsOf(30, ["postgres.backupWindow", backupWindow], ["postgres.maintenanceWindow", maintenanceWindow]),

	/** https://docs.aws.amazon.com/AmazonElastiCache/latest/APIReference/API_CreateReplicationGroup.html */
	redisWindows: ({ redis: { snapshotWindow, maintenanceWindow } }) =>
		faultsOf(60, ["redis.snapshotWindow", snapshotWindow], ["redis.maintenanceWindow", maintenanceWindow]),
} satisfies Record<string, Rule>;

type Setting = readonly [at: string, window: string];

function faultsOf(leastMinutes: number, daily: Setting, weekly: Setting): Fault[] {
	const short = [daily, weekly].flatMap(([at, window]): Fault[] => {
		const { minutes } = windowOf(window);
		if (minutes >= leastMinutes) return [];
		return [{ at, what: `is "${window}", ${minutes} minutes`, why: `AWS wants ${leastMinutes} at least`, fix: "make it longer" }];
	});
	if (short.length > 0 || !overlap(windowOf(daily[1]), windowOf(weekly[1]))) return short;
	return [
		{
			at: weekly[0],
			what: `is "${weekly[1]}", and ${daily[0]} is "${daily[1]}"`,
			why: "AWS refuses two windows that overlap",
			fix: "move one of them",
		},
	];
}

interface Window {
	/** Minutes from the beginning of the week, or of the day. */
	readonly start: number;
	readonly minutes: number;
}

/** `01:00-02:00` or `sun:23:30-mon:00:30`. */
function windowOf(text: string): Window {
	const [start = 0, end = 0] = text.split("-").map((time) => {
		const [minute, hour, day] = time.split(":").reverse();
		return Math.max(0, DAYS.indexOf(day ?? "")) * DAY + Number(hour) * 60 + Number(minute);
	});
	return { start, minutes: after(start, end, /^[a-z]/.test(text) ? WEEK : DAY) };
}

function overlap(daily: Window, weekly: Window): boolean {
	return DAYS.some((_, day) => {
		const start = daily.start + day * DAY;
		return after(start, weekly.start, WEEK) < daily.minutes || after(weekly.start, start, WEEK) < weekly.minutes;
	});
}

/** Minutes from one moment to the next time that it is the other. */
function after(from: number, to: number, period: number): number {
	return (to - from + period) % period;
}
