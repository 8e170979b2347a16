#!/bin/sh
# Makes two databases that know nothing of each other, Dagster's and MLflow's, each with an owner of its own.
# PostgreSQL's image runs it once, at the first start; elsewhere run it as a superuser (PGHOST, PGPORT).
set -eu

make_database() { # name, password; which is on no command line and quoted by psql
  PASSWORD=$2 psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set name="$1" \
    --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\set password `printf %s "$PASSWORD"`
create role :"name" login password :'password';
create database :"name" owner :"name";
revoke all on database :"name" from public;
SQL
}

make_database dagster "${DAGSTER_POSTGRES_PASSWORD:?}"
make_database mlflow "${MLFLOW_POSTGRES_PASSWORD:?}"
