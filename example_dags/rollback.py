"""Go back to the other index. Trigger this DAG, and choose the index that readers shall use.

It moves the pointer of the DAG ``rebuild`` in one task and loads nothing. Readers follow within about a minute. The
task fails if the chosen index is not the previous one, because a rebuild may have started in it.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_vectorize.operators.switch_over import VectorizePublishOperator

SLOTS = ["docs-a", "docs-b"]
POINTER = "{{ var.value.get('docs_pointer', 'variable://docs_index') }}"

with DAG(
    dag_id="rollback",
    description="Switch the readers back to the other index",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params={"index_name": Param("docs-a", enum=SLOTS, description="The index that readers shall use")},
    tags=["vectorize"],
    doc_md=__doc__,
):
    VectorizePublishOperator(
        task_id="publish",
        pointer=POINTER,
        index_name="{{ params.index_name }}",
        expect="{{ 'docs-b' if params.index_name == 'docs-a' else 'docs-a' }}",
    )
