//! Result schema, statistics, charts and the HTML report.
