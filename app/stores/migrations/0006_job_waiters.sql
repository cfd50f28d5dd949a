-- Which worker waits for the job for somebody, and is told how it goes; null where nobody waits.
alter table jobs add column waiter text;
