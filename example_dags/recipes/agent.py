"""Let an agent look into an index. It can query one index, and change nothing.

Needs ``apache-airflow-providers-common-ai`` with the extra of a model, such as ``openai``, and the connection
``pydanticai_default`` to the model.
"""

from __future__ import annotations

from airflow.providers.common.ai.operators.agent import AgentOperator
from airflow.providers.common.ai.toolsets.hook import HookToolset
from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

INDEX = "docs"

with DAG(
    dag_id="agent",
    schedule=None,
    catchup=False,
    params={"question": Param("Which pages are similar to page-1?", type="string")},
    tags=["vectorize"],
    doc_md=__doc__,
):
    AgentOperator(
        task_id="answer",
        prompt="{{ params.question }}",
        system_prompt="Answer from the index. IDs of vectors are the names of pages. Pass them as vector_id.",
        llm_conn_id="pydanticai_default",
        toolsets=[
            HookToolset(
                VectorizeHook(),
                allowed_methods=["query", "get_index_info"],
                pinned_arguments={"index_name": INDEX},  # the model cannot choose another index
            )
        ],
    )
